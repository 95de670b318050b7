"""The parts of `form-dispatches`: grouping ops, then building the regions."""
