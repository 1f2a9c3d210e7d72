Processor.link(Router)
