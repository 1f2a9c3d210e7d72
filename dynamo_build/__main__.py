"""`python -m dynamo_build` is the same as `dynamo`."""

from dynamo_build.cli.app import main

if __name__ == "__main__":
    main()
