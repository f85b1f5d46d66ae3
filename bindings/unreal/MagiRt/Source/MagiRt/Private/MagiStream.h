#pragma once

#include "CoreMinimal.h"
#include "MagiLibrary.h"
#include "MagiTypes.h"
#include "RHI.h"

class FMagiStream;

/** What to open; empty and zero mean the library's defaults. */
struct FMagiSettings
{
	FString Frames;
	FString Control;
	FString PublicKey;
	FString SecretKey;
	FString ServerKey;
	EMagiLayout Layout = EMagiLayout::Auto;
	bool bDummy = false;
	int32 DummyWidth = 0;
	int32 DummyHeight = 0;
	double DummyFps = 0.0;
};

/**
 * A frame borrowed from the library, given back when the last reference goes, on whichever thread
 * that is. It keeps its stream open, and so its pixels alive.
 */
class FMagiLentFrame
{
public:
	FMagiLentFrame(const TSharedRef<FMagiStream, ESPMode::ThreadSafe>& InStream, const magi_frame& InFrame);
	~FMagiLentFrame();
	FMagiLentFrame(const FMagiLentFrame&) = delete;
	FMagiLentFrame& operator=(const FMagiLentFrame&) = delete;

	const magi_frame Frame;

	/** The whole picture; the render thread reads it, so it has to live as long. */
	const FUpdateTextureRegion2D Region;

private:
	TSharedRef<FMagiStream, ESPMode::ThreadSafe> Stream;
};

/** Owns one native client. Shared by the component and the frames that are out. */
class FMagiStream : public TSharedFromThis<FMagiStream, ESPMode::ThreadSafe>
{
public:
	/** Null on trouble, and a sentence about it. Game thread. */
	static TSharedPtr<FMagiStream, ESPMode::ThreadSafe> Open(const FMagiSettings& Settings, FString& OutProblem);

	FMagiStream(const FMagiLibrary& InLibrary, magi_client InClient);
	~FMagiStream();

	/** The newest frame that was not taken yet, or null. Game thread. */
	TSharedPtr<FMagiLentFrame, ESPMode::ThreadSafe> Acquire();

	/** Any thread. */
	void Release(magi_lease Lease) const;

	/** The number that receipts will carry, 0 when refused; the log says why. */
	int64 Send(magi_request Request) const;

	/** False: none waits. Game thread. */
	bool PollReceipt(FMagiReceipt& Out) const;

	magi_client_info Info() const;

private:
	const FMagiLibrary& Library;
	const magi_client Client;
};
