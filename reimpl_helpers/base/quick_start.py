"""Leave out the slowest part of importing Jupyter's libraries: import this before them.

jsonschema builds a grammar for addresses in other scripts than Latin, which takes two to three
seconds of every start. No schema here holds such an address.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # jsonschema then does without
