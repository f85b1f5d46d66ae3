#pragma once

#include "CoreMinimal.h"

struct FPaths
{
	static FString Combine(const FString& A, const FString& B) { return FString((std::u16string(*A) + u"/" + *B).c_str()); }
	static FString Combine(const FString& A, const FString& B, const FString& C) { return Combine(Combine(A, B), C); }
};
