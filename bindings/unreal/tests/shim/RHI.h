#pragma once

#include "CoreMinimal.h"

struct FUpdateTextureRegion2D
{
	uint32 DestX;
	uint32 DestY;
	int32 SrcX;
	int32 SrcY;
	uint32 Width;
	uint32 Height;

	FUpdateTextureRegion2D(uint32 InDestX, uint32 InDestY, int32 InSrcX, int32 InSrcY, uint32 InWidth, uint32 InHeight)
		: DestX(InDestX), DestY(InDestY), SrcX(InSrcX), SrcY(InSrcY), Width(InWidth), Height(InHeight)
	{
	}
};
