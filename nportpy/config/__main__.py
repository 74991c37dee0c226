"""The other process of `start_loading`: reads the file that its argument names, writes the result to stdout."""

import gc
import pickle
import sys
from typing import TYPE_CHECKING

from nportpy.config import load
from nportpy.errors import ConfigError

if TYPE_CHECKING:
    from nportpy.gateway.plans import GatewaySettings


def main() -> None:
    """Read, and answer with the settings or the error."""
    gc.disable()  # this process is soon over, and somebody waits for it: nothing is to be looked for meanwhile
    result: GatewaySettings | ConfigError
    try:
        result = load(sys.argv[1])
    except ConfigError as error:
        result = error
    sys.stdout.buffer.write(pickle.dumps(result))


if __name__ == "__main__":
    main()
