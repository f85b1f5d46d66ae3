#pragma once

#include "CoreMinimal.h"

struct FPlatformProcess
{
	static void* GetDllHandle(const TCHAR* File);
	static void FreeDllHandle(void* Handle);
	static void* GetDllExport(void* Handle, const TCHAR* Name);
	static void PushDllDirectory(const TCHAR*) {}
	static void PopDllDirectory(const TCHAR*) {}
};
