#pragma once

#include <functional>

/** Waits until the render thread has nothing left to do. */
void FlushRenderingCommands();

namespace Shim
{
	void EnqueueRenderCommand(std::function<void()> Command);

	/** Holds the render thread before its next command, as a slow GPU does, and lets it go on. */
	void StallRendering();
	void ResumeRendering();
	int RenderCommandsWaiting();
}
