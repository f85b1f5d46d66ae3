#pragma once

#include "CoreMinimal.h"

class IModuleInterface
{
public:
	virtual ~IModuleInterface() = default;
	virtual void StartupModule() {}
	virtual void ShutdownModule() {}
};

namespace Shim
{
	/** The module, as the engine's module manager would make it. */
	std::unique_ptr<IModuleInterface> MakeModule();
}

#define IMPLEMENT_MODULE(Class, Name) \
	std::unique_ptr<IModuleInterface> Shim::MakeModule() { return std::make_unique<Class>(); }
