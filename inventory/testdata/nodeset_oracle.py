# Asks ClusterShell what host sets are: JSON in, JSON out.
# Run by nodeset_oracle_test.go with the Python that nodeset itself uses.
import json, sys

from ClusterShell.NodeSet import NodeSet
from ClusterShell.NodeUtils import GroupResolver

none = GroupResolver()  # no groups: the machine's own files say nothing
out = []
for text in json.load(sys.stdin):
    try:
        n = NodeSet(text, resolver=none)
        out.append({"fold": str(n), "names": list(n), "contiguous": [str(c) for c in n.contiguous()]})
    except Exception as e:
        out.append({"error": "%s: %s" % (type(e).__name__, e)})
json.dump(out, sys.stdout)
