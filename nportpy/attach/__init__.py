"""A virtual COM port on this machine for a port of a gateway elsewhere, made of a pseudo-terminal: no kernel module.

`terminal.py` is the pseudo-terminal behind its link, `wish.py` what a program has set it to; `session.py` is what is
said to the server as pure values, `rfc2217.py` and `realcom.py` that of their protocols; `conversation.py` and
`realcom_conversation.py` are the connections; `attachment.py` joins them and reconnects.
"""
