"""``python -m flows.cli``, for programs such as torchrun that start a module."""

from flows.cli.main import main

if __name__ == "__main__":
    main()
