// Questions to the server this page came from.

/** The server's refusal: what is wrong, and where it is known the field, what was given and what is allowed. */
export class Refused extends Error {
  constructor({ message, field = "", given = "", allowed = "" }, status) {
    super(message);
    Object.assign(this, { field, given, allowed, status });
  }
}

/** POST JSON and give the answer's JSON. Throws Refused; status 0 is a server that does not answer to the end. */
export async function ask(path, body) {
  const answer = await whole((await send(path, body)).json());
  if (answer.error) throw new Refused(answer.error, 422);
  return answer;
}

/** POST JSON and give the answer as a file's bytes. Throws Refused. */
export async function askFile(path, body) {
  const answer = await send(path, body);
  if (answer.headers.get("content-type") !== "application/json") return whole(answer.blob());
  throw new Refused((await whole(answer.json())).error, 422);
}

/** What is read of a body; one that ends in the middle is no answer. */
async function whole(reading) {
  try {
    return await reading;
  } catch {
    throw new Refused({ message: "no answer" }, 0);
  }
}

async function send(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-refusals": "answers", "accept-language": document.documentElement.lang },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Refused({ message: "no answer" }, 0);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Refused(told.error ?? { message: String(answer.status) }, answer.status);
}

/**
 * Latest wins: `push(question)` runs `work(question)` at once, or as soon as the one under way is done; of those that
 * came meanwhile only the last is asked.
 */
export function latest(work) {
  let busy = false;
  let next = null;
  const run = async (question) => {
    busy = true;
    try {
      await work(question, () => next !== null);
    } finally {
      busy = false;
      if (next !== null) {
        const [waiting] = next;
        next = null;
        run(waiting);
      }
    }
  };
  return (question) => {
    if (busy) next = [question];
    else run(question);
  };
}
