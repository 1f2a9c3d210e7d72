dynamo serve service:MyService -f config.yaml
