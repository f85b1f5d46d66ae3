#pragma once

#include "CoreMinimal.h"

class UObject
{
public:
	virtual ~UObject() = default;
};

inline bool IsValid(const UObject* Object)
{
	return Object != nullptr;
}

template <typename T>
T* Cast(UObject* Object)
{
	return dynamic_cast<T*>(Object);
}

template <typename T>
class TObjectPtr
{
public:
	TObjectPtr() = default;
	TObjectPtr(T* In) : Pointer(In) {}
	TObjectPtr(std::nullptr_t) {}
	operator T*() const { return Pointer; }
	T* Get() const { return Pointer; }
	T* operator->() const { check(Pointer != nullptr); return Pointer; }

private:
	T* Pointer = nullptr;
};

namespace Shim
{
	/** Objects live until the program ends, as if they were never collected. */
	template <typename T, typename... A>
	T* New(A&&... Arguments)
	{
		static std::vector<std::unique_ptr<T>> Kept;
		Kept.push_back(std::make_unique<T>(std::forward<A>(Arguments)...));
		return Kept.back().get();
	}
}
