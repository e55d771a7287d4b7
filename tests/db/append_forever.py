"""A process to be killed: appends rows and prints each id once its row is acknowledged."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from db.audit.chain_heads import heads_path
from db.audit.seal_key import load_key
from tests.db.rows import row, running_log


async def main(url: str, key_file: str) -> None:
    key = load_key(url, Path(key_file))
    async with running_log(url, key=key, heads_path=heads_path(key, None)) as log:

        async def call() -> None:
            while True:
                sent = row()
                await log.append([sent])
                os.write(1, f"{sent[0]}\n".encode())

        await asyncio.gather(*[call() for _ in range(50)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
