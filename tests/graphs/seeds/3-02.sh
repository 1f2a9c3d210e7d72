curl -X 'POST' \
  'http://localhost:3000/fegenerate' \
  -H 'accept: text/event-stream' \
  -H 'Content-Type: application/json' \
  -d '{
  "prompt": "test prompt str",
  "request_id":"request id str"
}'
