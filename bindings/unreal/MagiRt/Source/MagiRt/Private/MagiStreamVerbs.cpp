#include "MagiStream.h"
#include "MagiStreamComponent.h"

// What a Blueprint may ask of the world. Every verb returns the number that receipts will carry, or 0
// when nothing was sent; then the log says why.
namespace MagiVerbsPrivate
{
	using FStreamPtr = TSharedPtr<FMagiStream, ESPMode::ThreadSafe>;

	magi_request Begin(magi_request_type Type)
	{
		magi_request Request = {};
		Request.type = Type;
		return Request;
	}

	int64 Send(const FStreamPtr& Stream, const magi_request& Request)
	{
		if (!Stream.IsValid())
		{
			UE_LOG(LogMagiRt, Warning, TEXT("not sent: nothing is open"));
			return 0;
		}
		return Stream->Send(Request);
	}

	magi_request BeginAgain(magi_request_type Type, const FTCHARToUTF8& Text, int64 Seed)
	{
		magi_request Request = Begin(Type);
		Request.text = Text.Get();
		Request.seed = Seed < 0 ? 0 : static_cast<uint64>(Seed);
		Request.has_seed = Seed < 0 ? 0 : 1;
		return Request;
	}

	int64 SendNamed(const FStreamPtr& Stream, magi_request_type Type, const FString& Name)
	{
		const FTCHARToUTF8 Utf8(*Name);
		magi_request Request = Begin(Type);
		Request.name = Utf8.Get();
		return Send(Stream, Request);
	}
}

int64 UMagiStreamComponent::SendPrompt(const FString& Text, EMagiAt At, bool bFlush)
{
	using namespace MagiVerbsPrivate;
	const FTCHARToUTF8 Utf8(*Text);
	magi_request Request = Begin(MAGI_REQUEST_PROMPT);
	Request.text = Utf8.Get();
	Request.at = static_cast<magi_at>(At);
	Request.flush = bFlush ? 1 : 0;
	return Send(Stream, Request);
}

int64 UMagiStreamComponent::ResetWorld()
{
	using namespace MagiVerbsPrivate;
	return Send(Stream, Begin(MAGI_REQUEST_RESET));
}

int64 UMagiStreamComponent::ResetWorldWithSeed(int64 Seed)
{
	using namespace MagiVerbsPrivate;
	if (Seed < 0)
	{
		UE_LOG(LogMagiRt, Warning, TEXT("not sent: the seed %lld is negative"), Seed);
		return 0;
	}
	magi_request Request = Begin(MAGI_REQUEST_RESET);
	Request.seed = static_cast<uint64>(Seed);
	Request.has_seed = 1;
	return Send(Stream, Request);
}

int64 UMagiStreamComponent::ResetWorldWithPrompt(const FString& Text, int64 Seed)
{
	using namespace MagiVerbsPrivate;
	const FTCHARToUTF8 Utf8(*Text);
	return Send(Stream, BeginAgain(MAGI_REQUEST_RESET, Utf8, Seed));
}

int64 UMagiStreamComponent::SeedImage(const TArray<uint8>& File)
{
	using namespace MagiVerbsPrivate;
	magi_request Request = Begin(MAGI_REQUEST_IMAGE);
	Request.image = File.GetData();
	Request.image_size = static_cast<uint64>(File.Num());
	return Send(Stream, Request);
}

int64 UMagiStreamComponent::SeedImageWithPrompt(const TArray<uint8>& File, const FString& Text, int64 Seed)
{
	using namespace MagiVerbsPrivate;
	const FTCHARToUTF8 Utf8(*Text);
	magi_request Request = BeginAgain(MAGI_REQUEST_IMAGE, Utf8, Seed);
	Request.image = File.GetData();
	Request.image_size = static_cast<uint64>(File.Num());
	return Send(Stream, Request);
}

int64 UMagiStreamComponent::RewindWorld(int32 Chunks)
{
	using namespace MagiVerbsPrivate;
	if (Chunks < 1)
	{
		UE_LOG(LogMagiRt, Warning, TEXT("not sent: %d chunks cannot be rewound, at least 1 can"), Chunks);
		return 0;
	}
	magi_request Request = Begin(MAGI_REQUEST_REWIND);
	Request.chunks = static_cast<uint32>(Chunks);
	return Send(Stream, Request);
}

int64 UMagiStreamComponent::RewindWorldTo(int64 Chunk)
{
	using namespace MagiVerbsPrivate;
	if (Chunk < 0)
	{
		UE_LOG(LogMagiRt, Warning, TEXT("not sent: there is no chunk %lld to go back to"), Chunk);
		return 0;
	}
	magi_request Request = Begin(MAGI_REQUEST_REWIND);
	Request.to = static_cast<uint64>(Chunk);
	Request.has_to = 1;
	return Send(Stream, Request);
}

int64 UMagiStreamComponent::SnapshotWorld(const FString& SnapshotName)
{
	using namespace MagiVerbsPrivate;
	return SendNamed(Stream, MAGI_REQUEST_SNAPSHOT, SnapshotName);
}

int64 UMagiStreamComponent::RestoreWorld(const FString& SnapshotName)
{
	using namespace MagiVerbsPrivate;
	return SendNamed(Stream, MAGI_REQUEST_RESTORE, SnapshotName);
}

int64 UMagiStreamComponent::ForkWorld(const FString& ForkName)
{
	using namespace MagiVerbsPrivate;
	return SendNamed(Stream, MAGI_REQUEST_FORK, ForkName);
}

int64 UMagiStreamComponent::PauseWorld()
{
	using namespace MagiVerbsPrivate;
	return Send(Stream, Begin(MAGI_REQUEST_PAUSE));
}

int64 UMagiStreamComponent::ResumeWorld()
{
	using namespace MagiVerbsPrivate;
	return Send(Stream, Begin(MAGI_REQUEST_RESUME));
}

int64 UMagiStreamComponent::SetFps(double Fps)
{
	using namespace MagiVerbsPrivate;
	magi_request Request = Begin(MAGI_REQUEST_SET);
	Request.fps = Fps;
	return Send(Stream, Request);
}

int64 UMagiStreamComponent::RequestStats()
{
	using namespace MagiVerbsPrivate;
	return Send(Stream, Begin(MAGI_REQUEST_STATS));
}
