#pragma once

#include "CoreMinimal.h"

class IPlugin
{
public:
	/** Shim only: where the test has laid the plugin out. */
	static FString Folder;

	FString GetBaseDir() const { return Folder; }
};

class IPluginManager
{
public:
	static IPluginManager& Get()
	{
		static IPluginManager Manager;
		return Manager;
	}

	TSharedPtr<IPlugin> FindPlugin(const FString& Name) const
	{
		return Name == FString(TEXT("MagiRt")) ? TSharedPtr<IPlugin>(MakeShared<IPlugin>()) : nullptr;
	}
};
