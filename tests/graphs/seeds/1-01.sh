pip install ai-dynamo
