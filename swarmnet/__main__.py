"""python -m swarmnet."""

from swarmnet.cli import main

if __name__ == "__main__":
    main()
