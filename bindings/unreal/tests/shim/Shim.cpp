// The running half of the shim: a render thread of its own, textures that are filled on it.
#include "Engine/Texture2D.h"
#include "HAL/PlatformProcess.h"
#include "Interfaces/IPluginManager.h"
#include "RHI.h"
#include "RenderingThread.h"
#include "TextureResource.h"

#include <codecvt>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <locale>
#include <mutex>
#include <thread>

namespace
{
	using FConvert = std::wstring_convert<std::codecvt_utf8_utf16<char16_t>, char16_t>;

	class FRenderThread
	{
	public:
		FRenderThread() : Thread([this] { Run(); }) {}

		~FRenderThread()
		{
			Change([this] { bStalled = false; bEnd = true; });
			Thread.join();
		}

		void Enqueue(std::function<void()> Command)
		{
			Change([&] { Commands.push_back(std::move(Command)); });
		}

		void Stall(bool bStall)
		{
			Change([=, this] { bStalled = bStall; });
		}

		int Waiting()
		{
			const std::lock_guard<std::mutex> Lock(Mutex);
			return static_cast<int>(Commands.size()) + (bBusy ? 1 : 0);
		}

		void Flush()
		{
			std::unique_lock<std::mutex> Lock(Mutex);
			Changed.wait(Lock, [this] { return Commands.empty() && !bBusy; });
		}

	private:
		template <typename T>
		void Change(T What)
		{
			const std::lock_guard<std::mutex> Lock(Mutex);
			What();
			Changed.notify_all();
		}

		void Run()
		{
			std::unique_lock<std::mutex> Lock(Mutex);
			while (true)
			{
				Changed.wait(Lock, [this] { return !bStalled && (bEnd || !Commands.empty()); });
				if (Commands.empty())
				{
					return;
				}
				std::function<void()> Command = std::move(Commands.front());
				Commands.pop_front();
				bBusy = true;
				Lock.unlock();
				Command();
				Command = nullptr;
				Lock.lock();
				bBusy = false;
				Changed.notify_all();
			}
		}

		std::mutex Mutex;
		std::condition_variable Changed;
		std::deque<std::function<void()>> Commands;
		bool bStalled = false;
		bool bBusy = false;
		bool bEnd = false;
		std::thread Thread;
	};

	FRenderThread RenderThread;
}

FString IPlugin::Folder;
bool UTexture2D::bMakeResources = true;

std::u16string Shim::Utf16(const char* Utf8)
{
	return FConvert().from_bytes(Utf8);
}

std::string Shim::Utf8(const TCHAR* Utf16)
{
	return FConvert().to_bytes(Utf16);
}

void Shim::Log(const char* Category, const char* Verbosity, const std::u16string& Line)
{
	std::printf("     %s %s: %s\n", Category, Verbosity, Utf8(Line.c_str()).c_str());
}

void FlushRenderingCommands()
{
	RenderThread.Flush();
}

void Shim::EnqueueRenderCommand(std::function<void()> Command)
{
	RenderThread.Enqueue(std::move(Command));
}

void Shim::StallRendering()
{
	RenderThread.Stall(true);
}

void Shim::ResumeRendering()
{
	RenderThread.Stall(false);
}

int Shim::RenderCommandsWaiting()
{
	return RenderThread.Waiting();
}

void* FPlatformProcess::GetDllHandle(const TCHAR* File)
{
	return dlopen(Shim::Utf8(File).c_str(), RTLD_NOW | RTLD_LOCAL);
}

void FPlatformProcess::FreeDllHandle(void* Handle)
{
	dlclose(Handle);
}

void* FPlatformProcess::GetDllExport(void* Handle, const TCHAR* Name)
{
	return dlsym(Handle, Shim::Utf8(Name).c_str());
}

UTexture2D* UTexture2D::CreateTransient(int32 Width, int32 Height, EPixelFormat Format)
{
	check(Format == PF_B8G8R8A8);
	if (Width <= 0 || Height <= 0)
	{
		return nullptr;
	}
	UTexture2D* Made = Shim::New<UTexture2D>();
	Made->SizeX = Width;
	Made->SizeY = Height;
	return Made;
}

void UTexture2D::UpdateResource()
{
	if (bMakeResources)
	{
		Resource = std::make_shared<FTextureResource>();
		Resource->Pixels.resize(static_cast<size_t>(SizeX) * static_cast<size_t>(SizeY) * 4);
	}
}

void UTexture2D::UpdateTextureRegions(
	int32 MipIndex, uint32 NumRegions, const FUpdateTextureRegion2D* Regions, uint32 SrcPitch, uint32 SrcBpp, uint8* SrcData,
	TFunction<void(uint8* SrcData, const FUpdateTextureRegion2D* Regions)> DataCleanupFunc)
{
	check(MipIndex == 0 && NumRegions == 1 && SrcBpp == 4);
	if (Resource == nullptr)
	{
		return;
	}
	const size_t RowBytes = static_cast<size_t>(SizeX) * SrcBpp;
	Shim::EnqueueRenderCommand([=, Target = Resource] {
		// All that the game thread handed over is read only now.
		check(Regions->Width * SrcBpp == RowBytes && Regions->Height * RowBytes == Target->Pixels.size());
		for (uint32 Row = 0; Row < Regions->Height; Row++)
		{
			std::memcpy(Target->Pixels.data() + Row * RowBytes, SrcData + static_cast<size_t>(Row) * SrcPitch, RowBytes);
		}
		Target->Updates++;
		DataCleanupFunc(SrcData, Regions);
	});
}
