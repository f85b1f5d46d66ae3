"""`python -m magi_rt.cli`, the same as `magi-rt`."""

from magi_rt.cli.app import main

if __name__ == "__main__":
    main()
