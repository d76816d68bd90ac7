"""python -m swarmnet."""

from swarmnet.cli.commands import main

if __name__ == "__main__":
    main()
