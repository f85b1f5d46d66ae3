#include "MagiStream.h"

namespace MagiStreamPrivate
{
	// One that is drawn, one that waits for the render thread, one that is taken now.
	constexpr uint32 FramesOut = 3;

	/** On the library's thread; UE_LOG may be called from any. */
	void Tell(magi_log_level Level, const char* Message, void*)
	{
		if (Level == MAGI_LOG_ERROR)
		{
			UE_LOG(LogMagiRt, Error, TEXT("%s"), UTF8_TO_TCHAR(Message));
		}
		else if (Level == MAGI_LOG_WARNING)
		{
			UE_LOG(LogMagiRt, Warning, TEXT("%s"), UTF8_TO_TCHAR(Message));
		}
		else
		{
			UE_LOG(LogMagiRt, Log, TEXT("%s"), UTF8_TO_TCHAR(Message));
		}
	}

	const char* OrDefault(const FTCHARToUTF8& Text)
	{
		return Text.Length() > 0 ? Text.Get() : nullptr;
	}
}

FMagiLentFrame::FMagiLentFrame(const TSharedRef<FMagiStream, ESPMode::ThreadSafe>& InStream, const magi_frame& InFrame)
	: Frame(InFrame)
	, Region(0, 0, 0, 0, InFrame.width, InFrame.height)
	, Stream(InStream)
{
}

FMagiLentFrame::~FMagiLentFrame()
{
	Stream->Release(Frame.lease);
}

TSharedPtr<FMagiStream, ESPMode::ThreadSafe> FMagiStream::Open(const FMagiSettings& Settings, FString& OutProblem)
{
	using namespace MagiStreamPrivate;
	const FMagiLibrary* Loaded = FMagiLibrary::Get();
	if (Loaded == nullptr)
	{
		OutProblem = FMagiLibrary::Problem();
		return nullptr;
	}
	const FTCHARToUTF8 Frames(*Settings.Frames);
	const FTCHARToUTF8 Control(*Settings.Control);
	const FTCHARToUTF8 PublicKey(*Settings.PublicKey);
	const FTCHARToUTF8 SecretKey(*Settings.SecretKey);
	const FTCHARToUTF8 ServerKey(*Settings.ServerKey);
	magi_client_desc Desc = {};
	Desc.struct_size = sizeof(Desc);
	// Unreal's own order, uppermost row first: the server sends it so, nothing is converted here.
	Desc.format = MAGI_FORMAT_BGRA8;
	Desc.rows = MAGI_ROWS_TOP;
	Desc.layout = static_cast<magi_layout>(Settings.Layout);
	Desc.leased_frames = FramesOut;
	Desc.dummy = Settings.bDummy ? 1 : 0;
	Desc.dummy_width = static_cast<uint32>(FMath::Max(Settings.DummyWidth, 0));
	Desc.dummy_height = static_cast<uint32>(FMath::Max(Settings.DummyHeight, 0));
	Desc.dummy_fps = Settings.DummyFps;
	Desc.frames = OrDefault(Frames);
	Desc.control = OrDefault(Control);
	Desc.name = "unreal";
	Desc.curve_public = OrDefault(PublicKey);
	Desc.curve_secret = OrDefault(SecretKey);
	Desc.curve_server = OrDefault(ServerKey);
	Desc.log = &Tell;
	magi_client Opened = {};
	const magi_status Status = Loaded->Open(&Desc, &Opened);
	if (Status != MAGI_OK)
	{
		OutProblem = UTF8_TO_TCHAR(Loaded->StatusText(Status));
		return nullptr;
	}
	return MakeShared<FMagiStream, ESPMode::ThreadSafe>(*Loaded, Opened);
}

FMagiStream::FMagiStream(const FMagiLibrary& InLibrary, magi_client InClient)
	: Library(InLibrary)
	, Client(InClient)
{
	++FMagiLibrary::OpenClients;
}

FMagiStream::~FMagiStream()
{
	Library.Close(Client);
	--FMagiLibrary::OpenClients;
}

TSharedPtr<FMagiLentFrame, ESPMode::ThreadSafe> FMagiStream::Acquire()
{
	magi_frame Frame = {};
	Frame.struct_size = sizeof(Frame);
	// MAGI_BUSY is ordinary here: the render thread has not drawn the last ones yet.
	if (Library.AcquireFrame(Client, &Frame) != MAGI_OK)
	{
		return nullptr;
	}
	return MakeShared<FMagiLentFrame, ESPMode::ThreadSafe>(AsShared(), Frame);
}

void FMagiStream::Release(magi_lease Lease) const
{
	Library.ReleaseFrame(Client, Lease);
}

int64 FMagiStream::Send(magi_request Request) const
{
	Request.struct_size = sizeof(Request);
	uint64_t Id = 0;
	const magi_status Status = Library.Send(Client, &Request, &Id);
	if (Status != MAGI_OK)
	{
		UE_LOG(LogMagiRt, Warning, TEXT("not sent: %s"), UTF8_TO_TCHAR(Library.StatusText(Status)));
		return 0;
	}
	return static_cast<int64>(Id);
}

bool FMagiStream::PollReceipt(FMagiReceipt& Out) const
{
	magi_receipt Receipt = {};
	Receipt.struct_size = sizeof(Receipt);
	if (Library.PollReceipt(Client, &Receipt) != MAGI_OK)
	{
		return false;
	}
	Out.Kind = static_cast<EMagiReceiptKind>(Receipt.kind);
	Out.Request = static_cast<int64>(Receipt.request);
	Out.Type = static_cast<EMagiRequestType>(Receipt.type);
	Out.Code = static_cast<EMagiCode>(Receipt.code);
	Out.Epoch = static_cast<int64>(Receipt.epoch);
	Out.Seq = static_cast<int64>(Receipt.seq);
	Out.Frame = static_cast<int64>(Receipt.frame);
	Out.Chunk = static_cast<int64>(Receipt.chunk);
	Out.Prompt = static_cast<int64>(Receipt.prompt);
	Out.Message = UTF8_TO_TCHAR(Receipt.message);
	Out.Details = UTF8_TO_TCHAR(Receipt.details);
	return true;
}

magi_client_info FMagiStream::Info() const
{
	magi_client_info Now = {};
	Now.struct_size = sizeof(Now);
	Library.GetInfo(Client, &Now);
	return Now;
}
