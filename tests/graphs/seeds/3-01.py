class Frontend
    @api
    async def fegenerate(self, prompt, request_id):  # from request data keys
      ...
