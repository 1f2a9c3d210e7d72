@dynamo_endpoint()
async def generate(self, request):
    # Use async operations for better performance
    result = await self.some_async_operation()
