"""python -m otoyol"""

from otoyol.cli.main import main

main()
