"""otoyol why: a question answered for one design with its own figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from otoyol.cli.inputs import label, read_spec
from otoyol.cli.options import Json, Lang, Question, SpecText, option
from otoyol.cli.output import Heading, Item, Table, write, write_json
from otoyol.cli.words import language, word

if TYPE_CHECKING:
    from otoyol.explain import Answer


def why(
    question: Annotated[Question, option("question")], spec: SpecText, /, *, json: Json = False, lang: Lang = None
) -> None:
    from otoyol import explain

    design, tongue = read_spec(spec), language(lang)
    names = explain.ANSWERED if question == "all" else (question,)
    answers = [explain.why(name, design, tongue) for name in names]
    if json:
        rows = [{"spec": label(design), **answer.to_mapping()} for answer in answers]
        write_json(rows if question == "all" else rows[0])
        return
    write([item for answer in answers for item in page(answer, tongue)])


def page(answer: Answer, lang: str) -> list[Item]:
    items: list[Item] = [Heading(answer.title), answer.headline, *answer.paragraphs]
    if answer.table.rows:
        items.append(Table(answer.table.caption, answer.table.header, answer.table.rows))
    if answer.sources:
        items.append("\n".join([word("title.sources", lang), *(f"  {source}" for source in answer.sources)]))
    return items
