"""`make faults`. Its options are those of `program`."""

if __name__ == "__main__":
    # Processes that are forked run this file too: what it imports they need not import again.
    import typer
    from program import main

    typer.run(main)
