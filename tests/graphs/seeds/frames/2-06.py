from dynamo.sdk import async_on_start, service

async def connect_to_db():
    return "db"

async def load_tokenizer():
    return "tokenizer"

async def initialize_engine(model):
    return f"engine of {model}"

@service
class Worker:
    model = "m"

    # (block)

instance = await made(Worker)
assert (instance.db, instance.tokenizer, instance.engine) == ("db", "tokenizer", "engine of m")
