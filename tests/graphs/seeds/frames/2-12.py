import argparse

from dynamo.sdk.lib.config import ServiceConfig as Configuration

class MyLibArgumentParser(argparse.ArgumentParser):
    def __init__(self):
        super().__init__()
        self.add_argument("--option1")
        self.add_argument("--flag2", action="store_true")
        self.add_argument("--option3")

keys = {"lib_option1": "value1", "lib_flag2": True, "lib_option3": "value3", "other": 1, "ServiceArgs": {"workers": 2}}
Configuration.set_instance({"MyService": keys})

# (block)

arguments = Configuration.get_instance().as_args("MyService", prefix="lib_")
assert arguments == ["--option1", "value1", "--flag2", "--option3", "value3"]
assert vars(setup_my_lib()) == {"option1": "value1", "flag2": True, "option3": "value3"}
Configuration.set_instance(None)
