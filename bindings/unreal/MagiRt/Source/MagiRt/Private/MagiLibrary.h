#pragma once

#include "CoreMinimal.h"
#include "magi_rt.h"

#include <atomic>

DECLARE_LOG_CATEGORY_EXTERN(LogMagiRt, Log, All);

/**
 * The functions of magi_rt.h, found when the module starts. Loaded by name instead of linked, so that
 * a missing library is a sentence in the log and not an editor that does not start.
 */
struct FMagiLibrary
{
	decltype(&magi_abi) Abi = nullptr;
	decltype(&magi_version) Version = nullptr;
	decltype(&magi_status_text) StatusText = nullptr;
	decltype(&magi_client_open) Open = nullptr;
	decltype(&magi_client_close) Close = nullptr;
	decltype(&magi_client_acquire_frame) AcquireFrame = nullptr;
	decltype(&magi_client_release_frame) ReleaseFrame = nullptr;
	decltype(&magi_client_get_info) GetInfo = nullptr;
	decltype(&magi_client_send) Send = nullptr;
	decltype(&magi_client_poll_receipt) PollReceipt = nullptr;

	/** Null when it could not be loaded; Problem() says why. Game thread. */
	static const FMagiLibrary* Get();
	static const FString& Problem();

	/** Called by the module. A library with open clients stays loaded: its threads run in it. */
	static void Load();
	static void Unload();

	/** Clients that are open. Any thread. */
	static std::atomic<int32> OpenClients;
};
