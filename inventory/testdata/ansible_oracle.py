# Asks ansible-core which hosts patterns select in inventories: JSON in, JSON out.
# Run by ansible_oracle_test.go with the Python that ansible itself uses.
import json, sys

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

out = []
for case in json.load(sys.stdin):
    loader = DataLoader()
    inv = InventoryManager(loader=loader, sources=[case["path"]])
    variables = VariableManager(loader=loader, inventory=inv)
    answer = {"patterns": [], "vars": {}, "groups": {}}
    for pattern in case["patterns"]:
        try:
            answer["patterns"].append({"hosts": [h.name for h in inv.get_hosts(pattern)], "order": [str(h) for h in inv.list_hosts(pattern)]})
        except Exception as e:
            answer["patterns"].append({"error": str(e)})
    magic = set(variables.get_vars(host=None, include_hostvars=False)) | {"ansible_facts", "ansible_check_mode", "inventory_dir", "inventory_file", "inventory_hostname", "inventory_hostname_short", "group_names", "playbook_dir"}
    for h in inv.get_hosts("all"):
        v = variables.get_vars(host=h, include_hostvars=False)
        answer["vars"][h.name] = {k: x for k, x in v.items() if k not in magic}
    for name, g in inv.groups.items():
        answer["groups"][name] = [h.name for h in g.get_hosts()]
    out.append(answer)
json.dump(out, sys.stdout, default=str)
