#include "MagiLibrary.h"

#include "HAL/PlatformProcess.h"
#include "Interfaces/IPluginManager.h"
#include "Misc/Paths.h"

DEFINE_LOG_CATEGORY(LogMagiRt);

// Named, not anonymous: unity builds put several source files into one.
namespace MagiLibraryPrivate
{
	FMagiLibrary Loaded;
	void* Handle = nullptr;
	FString LoadProblem;

#if PLATFORM_WINDOWS
	const TCHAR* const Platform = TEXT("Win64");
	const TCHAR* const FileName = TEXT("magi_rt.dll");
#elif PLATFORM_MAC
	const TCHAR* const Platform = TEXT("Mac");
	const TCHAR* const FileName = TEXT("libmagi_rt.dylib");
#else
	const TCHAR* const Platform = TEXT("Linux");
	const TCHAR* const FileName = TEXT("libmagi_rt.so");
#endif

	FString Folder()
	{
		const TSharedPtr<IPlugin> Plugin = IPluginManager::Get().FindPlugin(TEXT("MagiRt"));
		const FString Base = Plugin.IsValid() ? Plugin->GetBaseDir() : FString();
		return FPaths::Combine(Base, TEXT("ThirdParty/magi_rt/bin"), Platform);
	}

	template <typename FunctionType>
	bool Find(FunctionType& Function, const TCHAR* Name)
	{
		Function = reinterpret_cast<FunctionType>(FPlatformProcess::GetDllExport(Handle, Name));
		if (Function == nullptr)
		{
			LoadProblem = FString::Printf(TEXT("%s has no function %s; take the library and the plugin from the same release"), FileName, Name);
		}
		return Function != nullptr;
	}

	bool FindAll()
	{
		return Find(Loaded.Abi, TEXT("magi_abi"))
			&& Find(Loaded.Version, TEXT("magi_version"))
			&& Find(Loaded.StatusText, TEXT("magi_status_text"))
			&& Find(Loaded.Open, TEXT("magi_client_open"))
			&& Find(Loaded.Close, TEXT("magi_client_close"))
			&& Find(Loaded.AcquireFrame, TEXT("magi_client_acquire_frame"))
			&& Find(Loaded.ReleaseFrame, TEXT("magi_client_release_frame"))
			&& Find(Loaded.GetInfo, TEXT("magi_client_get_info"))
			&& Find(Loaded.Send, TEXT("magi_client_send"))
			&& Find(Loaded.PollReceipt, TEXT("magi_client_poll_receipt"));
	}

	bool IsOurAbi()
	{
		const uint32 Number = Loaded.Abi();
		if (Number != MAGI_RT_ABI)
		{
			LoadProblem = FString::Printf(
				TEXT("%s has ABI %u but this plugin was compiled for ABI %u; take both from the same release"),
				FileName, Number, static_cast<uint32>(MAGI_RT_ABI));
		}
		return Number == MAGI_RT_ABI;
	}
}

std::atomic<int32> FMagiLibrary::OpenClients{0};

const FMagiLibrary* FMagiLibrary::Get()
{
	using namespace MagiLibraryPrivate;
	return Handle != nullptr ? &Loaded : nullptr;
}

const FString& FMagiLibrary::Problem()
{
	return MagiLibraryPrivate::LoadProblem;
}

void FMagiLibrary::Load()
{
	using namespace MagiLibraryPrivate;
	const FString Place = Folder();
	const FString File = FPaths::Combine(Place, FileName);
	LoadProblem.Empty();
	// What it needs (libzmq, msgpack-c) may lie beside it.
	FPlatformProcess::PushDllDirectory(*Place);
	Handle = FPlatformProcess::GetDllHandle(*File);
	FPlatformProcess::PopDllDirectory(*Place);
	if (Handle == nullptr)
	{
		LoadProblem = FString::Printf(TEXT("%s, or a library that it needs (libzmq, msgpack-c), was not found or is for another processor"), *File);
	}
	else if (!FindAll() || !IsOurAbi())
	{
		Unload();
	}
	if (Handle == nullptr)
	{
		UE_LOG(LogMagiRt, Error, TEXT("%s"), *LoadProblem);
		return;
	}
	UE_LOG(LogMagiRt, Log, TEXT("magi_rt %s is loaded"), UTF8_TO_TCHAR(Loaded.Version()));
}

void FMagiLibrary::Unload()
{
	using namespace MagiLibraryPrivate;
	if (OpenClients > 0)
	{
		UE_LOG(LogMagiRt, Warning, TEXT("%d clients are still open; the library stays loaded"), OpenClients.load());
		return;
	}
	if (Handle != nullptr)
	{
		FPlatformProcess::FreeDllHandle(Handle);
	}
	Handle = nullptr;
	Loaded = FMagiLibrary();
}
