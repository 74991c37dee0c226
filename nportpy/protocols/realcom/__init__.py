"""Real COM, the protocol of NPort drivers: a data connection of plain bytes, and beside it one of commands.

`messages.py` has the commands and answers, `codec.py` finds them in a stream, for both ends; `values.py` says what
they mean for a line; `session.py` is the server's side of a pair of connections, `client.py` the other, both without
sockets.

There is no published specification. What is known was seen in traces of the Linux driver and in what its source
makes of each byte; the rules that follow from it are given where they are obeyed.
"""
