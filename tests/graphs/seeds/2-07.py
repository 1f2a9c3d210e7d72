@async_on_shutdown
async def async_shutdown(self):
    if self._engine_context is not None:
        await self._engine_context.__aexit__(None, None, None)
    print("VllmWorkerRouterLess shutting down")
