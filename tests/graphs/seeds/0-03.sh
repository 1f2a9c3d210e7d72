dynamo serve hello_world:Frontend # name of the module:entrypoint of the graph

# In another terminal, we can test our service using curl
curl -X POST http://localhost:8000/generate -d '{"text": "Hello World"}'

# We should see the following output:
Echo: Hello
Echo: World
