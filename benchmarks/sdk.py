"""The vendor's SDK as its README uses it: `get_all` into a list. Nothing is mapped and nothing stored.

python benchmarks/sdk.py ADDRESS
"""

from __future__ import annotations

import sys

import people
from hubspot import HubSpot


def main(address: str) -> None:
    client = HubSpot(access_token="pat-bench", host=address)
    print(f'{{"pulled": {len(client.crm.contacts.get_all(properties=people.PROPERTIES))}}}')


if __name__ == "__main__":
    main(sys.argv[1])
