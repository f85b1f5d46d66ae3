#pragma once

#include "CoreMinimal.h"

class FTextureResource
{
public:
	/** Shim only: what the GPU would show. Render thread, or after a flush. */
	std::vector<uint8> Pixels;
	int Updates = 0;
};
