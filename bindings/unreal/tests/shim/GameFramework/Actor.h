#pragma once

#include "Components/ActorComponent.h"

class AActor : public UObject
{
public:
	template <typename T>
	T* FindComponentByClass() const
	{
		for (UActorComponent* Component : Components)
		{
			if (T* Found = dynamic_cast<T*>(Component))
			{
				return Found;
			}
		}
		return nullptr;
	}

	/** Shim only. */
	std::vector<UActorComponent*> Components;
};
