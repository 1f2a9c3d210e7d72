dynamo serve service:LLMService -f prod_config.yaml --LLMService.temperature=0.9
