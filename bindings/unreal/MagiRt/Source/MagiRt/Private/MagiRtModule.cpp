#include "MagiLibrary.h"
#include "Modules/ModuleManager.h"
#include "RenderingThread.h"

class FMagiRtModule : public IModuleInterface
{
public:
	virtual void StartupModule() override
	{
		FMagiLibrary::Load();
	}

	virtual void ShutdownModule() override
	{
		// Render commands may hold the last frames, and with them the last clients.
		FlushRenderingCommands();
		FMagiLibrary::Unload();
	}
};

IMPLEMENT_MODULE(FMagiRtModule, MagiRt)
