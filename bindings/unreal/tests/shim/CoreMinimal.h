#pragma once

// The smallest honest stand-in for what the plugin uses of Unreal's Core: same names, same kinds of
// types (64-bit integers are long long, text is UTF-16), same things forbidden. Not the engine.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using uint8 = unsigned char;
using int32 = int;
using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;
using TCHAR = char16_t;
using ANSICHAR = char;

#define TEXT_PASTE(x) u##x
#define TEXT(x) TEXT_PASTE(x)
#define PLATFORM_WINDOWS 0
#define PLATFORM_MAC 0
#define check(expression) do { if (!(expression)) std::abort(); } while (false)

namespace Shim
{
	std::u16string Utf16(const char* Utf8);
	std::string Utf8(const TCHAR* Utf16);

	/** What may be handed to UE_LOG and Printf: numbers and texts of TCHAR, no FString, no char*. */
	template <typename T>
	constexpr bool IsFormatArgument =
		std::is_arithmetic_v<std::decay_t<T>> || std::is_same_v<std::decay_t<T>, const TCHAR*> || std::is_same_v<std::decay_t<T>, TCHAR*>;

	inline std::u16string AsText(const TCHAR* Value)
	{
		return Value;
	}

	template <typename T>
	std::enable_if_t<std::is_arithmetic_v<T>, std::u16string> AsText(T Value)
	{
		return Utf16(std::to_string(Value).c_str());
	}

	template <size_t N, typename... T>
	std::u16string Format(const TCHAR (&Pattern)[N], T... Values)
	{
		static_assert((IsFormatArgument<T> && ...), "only numbers and TCHAR texts can be formatted: write *String");
		const std::vector<std::u16string> Parts{AsText(Values)...};
		std::u16string Out;
		size_t Next = 0;
		for (size_t At = 0; At + 1 < N; At++)
		{
			if (Pattern[At] != u'%')
			{
				Out += Pattern[At];
				continue;
			}
			At++;
			while (Pattern[At] == u'l')
			{
				At++;
			}
			check(Next < Parts.size());
			Out += Parts[Next++];
		}
		check(Next == Parts.size());
		return Out;
	}

	void Log(const char* Category, const char* Verbosity, const std::u16string& Line);
}

class FString
{
public:
	FString() = default;
	FString(const TCHAR* InText) : Text(InText != nullptr ? InText : u"") {}
	const TCHAR* operator*() const { return Text.c_str(); }
	bool IsEmpty() const { return Text.empty(); }
	int32 Len() const { return static_cast<int32>(Text.size()); }
	void Empty() { Text.clear(); }
	bool operator==(const FString& Other) const { return Text == Other.Text; }
	bool Contains(const FString& Part) const { return Text.find(Part.Text) != std::u16string::npos; }

	template <size_t N, typename... T>
	static FString Printf(const TCHAR (&Pattern)[N], T... Values)
	{
		return FString(Shim::Format(Pattern, Values...).c_str());
	}

private:
	std::u16string Text;
};

class FName
{
public:
	FName() = default;
	FName(const TCHAR* InText) : Text(InText) {}
	bool IsNone() const { return Text.empty() || Text == u"None"; }
	bool operator==(const FName& Other) const { return Text == Other.Text; }
	bool operator<(const FName& Other) const { return Text < Other.Text; }

private:
	std::u16string Text;
};

class FTCHARToUTF8
{
public:
	explicit FTCHARToUTF8(const TCHAR* Text) : Bytes(Shim::Utf8(Text)) {}
	const ANSICHAR* Get() const { return Bytes.c_str(); }
	int32 Length() const { return static_cast<int32>(Bytes.size()); }

private:
	std::string Bytes;
};

class FUTF8ToTCHAR
{
public:
	explicit FUTF8ToTCHAR(const ANSICHAR* Bytes) : Text(Shim::Utf16(Bytes)) {}
	const TCHAR* Get() const { return Text.c_str(); }

private:
	std::u16string Text;
};

// As in the engine, the result lives until the end of the statement.
#define UTF8_TO_TCHAR(Bytes) (const_cast<TCHAR*>(FUTF8ToTCHAR(Bytes).Get()))

template <typename T>
class TArray
{
public:
	TArray() = default;
	TArray(std::initializer_list<T> In) : Items(In) {}
	int32 Num() const { return static_cast<int32>(Items.size()); }
	const T* GetData() const { return Items.data(); }
	void Add(const T& Item) { Items.push_back(Item); }
	const T& operator[](int32 Index) const { return Items.at(static_cast<size_t>(Index)); }

private:
	std::vector<T> Items;
};

struct FMath
{
	template <typename T>
	static T Max(T A, T B)
	{
		return std::max(A, B);
	}
};

template <typename T>
class TFunction;

template <typename R, typename... A>
class TFunction<R(A...)> : public std::function<R(A...)>
{
public:
	using std::function<R(A...)>::function;
};

enum class ESPMode
{
	NotThreadSafe,
	ThreadSafe
};

template <typename T, ESPMode Mode = ESPMode::ThreadSafe>
class TSharedRef;

template <typename T, ESPMode Mode = ESPMode::ThreadSafe>
class TSharedPtr
{
public:
	TSharedPtr() = default;
	TSharedPtr(std::nullptr_t) {}
	TSharedPtr(const TSharedRef<T, Mode>& Ref) : Pointer(Ref.Pointer) {}
	explicit TSharedPtr(std::shared_ptr<T> In) : Pointer(std::move(In)) {}
	bool IsValid() const { return Pointer != nullptr; }
	T* operator->() const { check(IsValid()); return Pointer.get(); }
	T& operator*() const { check(IsValid()); return *Pointer; }
	void Reset() { Pointer.reset(); }
	// A TSharedPtr of the engine is no bool: IsValid() has to be said.

private:
	std::shared_ptr<T> Pointer;
};

template <typename T, ESPMode Mode>
class TSharedRef
{
public:
	explicit TSharedRef(std::shared_ptr<T> In) : Pointer(std::move(In)) { check(Pointer != nullptr); }
	T* operator->() const { return Pointer.get(); }
	std::shared_ptr<T> Pointer;
};

template <typename T, ESPMode Mode = ESPMode::ThreadSafe>
class TSharedFromThis : public std::enable_shared_from_this<T>
{
public:
	TSharedRef<T, Mode> AsShared() { return TSharedRef<T, Mode>(this->shared_from_this()); }
};

template <typename T, ESPMode Mode = ESPMode::ThreadSafe, typename... A>
TSharedRef<T, Mode> MakeShared(A&&... Arguments)
{
	return TSharedRef<T, Mode>(std::make_shared<T>(std::forward<A>(Arguments)...));
}

#define DECLARE_LOG_CATEGORY_EXTERN(Name, Default, Compiled) struct FLogCategory##Name { static const char* Text() { return #Name; } }; extern FLogCategory##Name Name
#define DEFINE_LOG_CATEGORY(Name) FLogCategory##Name Name
#define DEFINE_LOG_CATEGORY_STATIC(Name, Default, Compiled) static struct FLogCategory##Name { static const char* Text() { return #Name; } } Name
#define UE_LOG(Category, Verbosity, Pattern, ...) Shim::Log(Category.Text(), #Verbosity, Shim::Format(Pattern __VA_OPT__(,) __VA_ARGS__))

// Words for the header tool; the compiler sees nothing of them.
#define UENUM(...)
#define USTRUCT(...)
#define UCLASS(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define GENERATED_BODY_PASTE(File, Line) File##_##Line##_BODY
#define GENERATED_BODY_OF(File, Line) GENERATED_BODY_PASTE(File, Line)
#define GENERATED_BODY() GENERATED_BODY_OF(CURRENT_FILE_ID, __LINE__)

#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(Name, Type, Parameter) \
	class Name \
	{ \
	public: \
		void Broadcast(Type Parameter) const \
		{ \
			const auto Now = Listeners; \
			for (const auto& Listener : Now) \
			{ \
				Listener(Parameter); \
			} \
		} \
		/* In the engine a macro, which takes the same words. */ \
		template <typename T> \
		void AddDynamic(T* Object, void (T::*Function)(Type)) { Listen([=](Type Parameter) { (Object->*Function)(Parameter); }); } \
		/* Shim only: the engine binds UFUNCTIONs by name. */ \
		void Listen(std::function<void(Type)> Listener) { Listeners.push_back(std::move(Listener)); } \
	private: \
		std::vector<std::function<void(Type)>> Listeners; \
	}
