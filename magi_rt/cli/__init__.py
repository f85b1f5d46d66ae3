"""The command `magi-rt`: one file per verb, arguments in, a call out."""
