"""Records in a bucket: a client that marks the end too early hides nothing."""

from __future__ import annotations

from types import SimpleNamespace

from dynamo.coordination.nats.records import NatsRecords

ENTRY = SimpleNamespace(key="a", value=b"1", operation=None)
GONE = SimpleNamespace(key="b", value=None, operation="DEL")


class Bucket:
    """Shows the given entries at each look."""

    def __init__(self, values, *looks):
        self.values, self.looks, self.asked = values, list(looks), 0

    async def status(self):
        self.asked += 1
        return SimpleNamespace(values=self.values)

    async def watchall(self):
        entries = iter([*self.looks.pop(0), None])

        class Watching:
            def __aiter__(self):
                return self

            async def __anext__(self):
                return next(entries)

            async def stop(self):
                pass

        return Watching()


async def read(bucket):
    async def open_bucket(name, history):
        return bucket

    return await NatsRecords(SimpleNamespace(open_bucket=open_bucket), "models").read_all()


async def test_an_end_before_the_first_entry_is_not_believed():
    """The bucket says that it has an entry, so it is read once more."""
    assert await read(Bucket(1, [], [ENTRY])) == {"a": b"1"}


async def test_an_empty_bucket_is_empty():
    """Its status says so, and nothing is read again."""
    bucket = Bucket(0, [])
    assert (await read(bucket), bucket.asked) == ({}, 1)


async def test_records_that_were_deleted_are_entries():
    """They are left out, and the bucket is not asked."""
    bucket = Bucket(2, [GONE, ENTRY])
    assert (await read(bucket), bucket.asked) == ({"a": b"1"}, 0)
