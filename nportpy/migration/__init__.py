"""From the configuration of another serial device server to ours: ser2net's, in its three forms.

    yaml_tree.py     YAML as ser2net reads it, with line numbers
    ser2net_yaml.py  ser2net.yaml, version 1 and version 2 -> connections
    ser2net_conf.py  ser2net.conf, the form before version 4 -> connections
    gensio.py        the strings that say who may come in, and what is at the other end
    meaning.py       a connection -> what it is here, and what has no equal; options.py: ser2net's own options,
                     packets.py: how bytes are put together
    writing.py       our file, with a comment for each thing without an equal
    converting.py    all of it

Sources: the manual pages ser2net.yaml(5) (ser2net 4.3.11 for version 1, 4.6 for version 2), gensio(5) and ser2net(8)
(3.5 for the old form), and the files that are installed with them.
"""

from nportpy.migration.converting import convert
from nportpy.migration.writing import Written

__all__ = ["Written", "convert"]
