"""`make fuzz`. Its options are those of `fuzz_program`."""

if __name__ == "__main__":
    import typer
    from fuzz_program import main

    typer.run(main)
