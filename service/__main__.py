"""``pneumo-serve``, which is ``python -m service``.

Nothing is imported before it is needed: every decoder imports this module, and needs none of it.
"""


def main() -> None:
    """Do what the command line says."""
    from service.cli import app

    app(prog_name="pneumo-serve")


if __name__ == "__main__":
    main()
