using System;
using System.Collections.Generic;
using System.Threading;
using UnityEngine;
using UnityEngine.UI;

namespace MagiRt.Tests
{
    /// <summary>The component's life in the engine, on the library's dummy mode.</summary>
    public static class LifeCycleTests
    {
        const int Width = 48;
        const int Height = 20;

        [Test]
        public static void The_pixels_of_a_frame_reach_the_texture_with_the_lowermost_row_first()
        {
            foreach (MagiTextureFormat format in Enum.GetValues(typeof(MagiTextureFormat)))
            {
                Dictionary<ulong, byte[]> pictures = TopDownPictures(format, 40);
                Player.EnterPlayMode();
                MagiTexture component = Add(c => Player.Set(c, "format", format));
                int compared = 0;
                Expect.Soon(
                    delegate
                    {
                        ulong before = component.ShownSeq;
                        Player.Frame(component);
                        byte[] expected;
                        if (component.ShownSeq != before && pictures.TryGetValue(component.ShownSeq, out expected))
                        {
                            byte[] flipped = Clients.Flipped(expected, expected.Length / Height);
                            Expect.Equal(flipped, component.Texture.OnGpu, format + ", frame " + component.ShownSeq);
                            compared++;
                        }
                        return compared >= 5;
                    },
                    "frames that both saw, " + format);
                Remove(component);
            }
        }

        [Test]
        public static void The_texture_is_sRGB_without_mipmaps_and_there_is_one_upload_per_frame()
        {
            Player.EnterPlayMode();
            MagiTexture component = Playing();
            Texture2D texture = component.Texture;
            Expect.Equal(TextureFormat.RGBA32, texture.format, "format");
            Expect.True(!texture.IsLinear, "sRGB");
            Expect.True(!texture.HasMipmaps, "no mipmaps");
            Expect.Equal(TextureWrapMode.Clamp, texture.wrapMode, "wrap mode");
            int uploads = texture.Uploads;
            ulong shown = component.ShownSeq;
            Player.Frame(component);
            Expect.Equal(component.ShownSeq == shown ? uploads : uploads + 1, texture.Uploads, "uploads");
            Remove(component);
        }

        [Test]
        public static void It_can_be_disabled_and_enabled_again_and_again()
        {
            Player.EnterPlayMode();
            MagiTexture component = Playing();
            for (int round = 0; round < 3; round++)
            {
                Player.Disable(component);
                UnityEngine.Object.EndOfFrame();
                Expect.True(component.Client == null && component.Texture == null, "closed");
                Expect.True(!component.Connected, "not connected");
                Expect.Equal(0, Texture2D.Living, "textures left");
                Player.Enable(component);
                UntilShown(component);
            }
            Remove(component);
        }

        [Test]
        public static void It_survives_many_plays_without_a_client_or_a_texture_left_behind()
        {
            // The library refuses a 65th client that is open at one time.
            for (int play = 0; play < 70; play++)
            {
                Player.EnterPlayMode();
                MagiTexture component = Add(null);
                Expect.Equal("", component.Problem, "play " + play);
                if (play % 10 == 0)
                    UntilShown(component);
                Player.Frame(component);
                Remove(component);
                Player.ExitPlayMode();
            }
            Expect.Equal(0, Texture2D.Living, "textures left");
        }

        [Test]
        public static void It_goes_on_after_a_domain_reload_in_play_mode()
        {
            Player.EnterPlayMode();
            MagiTexture component = Playing();
            for (int reload = 0; reload < 3; reload++)
            {
                component = Player.ReloadDomain(component);
                Expect.Equal(0, Texture2D.Living, "textures of before");
                UntilShown(component);
            }
            Remove(component);
        }

        [Test]
        public static void A_new_size_makes_a_new_texture_and_puts_it_where_the_old_one_was()
        {
            Player.EnterPlayMode();
            Renderer renderer = new Renderer { sharedMaterial = new Material("_BaseMap") };
            RawImage image = new RawImage();
            List<Texture> told = new List<Texture>();
            MagiTexture component = Add(c =>
            {
                Player.Set(c, "targetRenderer", renderer);
                Player.Set(c, "targetImage", image);
            });
            component.OnTexture.AddListener(told.Add);
            UntilShown(component);
            Texture2D first = component.Texture;
            Player.Set(component, "dummyWidth", 2 * Width);
            Player.Call(component, "OnValidate");
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    return component.Texture != null && component.Texture.width == 2 * Width;
                },
                "the new size");
            Expect.True(first == null, "the old texture was destroyed");
            Expect.Equal(1, Texture2D.Living, "textures");
            Expect.Equal(2, told.Count, "times told");
            Expect.True(renderer.Overrides["_BaseMap"] == component.Texture, "renderer shows it");
            Expect.True(image.texture == component.Texture, "image shows it");
            Remove(component);
            Expect.True(renderer.Overrides == null && image.texture == null, "both are as they were");
        }

        [Test]
        public static void What_a_renderer_showed_before_comes_back()
        {
            Player.EnterPlayMode();
            Renderer renderer = new Renderer { sharedMaterial = new Material("_MainTex") };
            Texture2D own = new Texture2D(1, 1, TextureFormat.RGBA32, false, false);
            MaterialPropertyBlock block = new MaterialPropertyBlock();
            block.SetTexture("_MainTex", own);
            renderer.SetPropertyBlock(block);
            MagiTexture component = Add(c => Player.Set(c, "targetRenderer", renderer));
            UntilShown(component);
            Expect.True(renderer.Overrides["_MainTex"] == component.Texture, "shown");
            Remove(component);
            Expect.True(renderer.Overrides["_MainTex"] == own, "came back");
            UnityEngine.Object.DestroyImmediate(own);
        }

        [Test]
        public static void What_the_game_puts_there_meanwhile_stays()
        {
            Player.EnterPlayMode();
            Renderer renderer = new Renderer { sharedMaterial = new Material("_MainTex") };
            RawImage image = new RawImage();
            Texture2D own = new Texture2D(1, 1, TextureFormat.RGBA32, false, false);
            Override(renderer, "_Mask", own);
            MagiTexture component = Add(c =>
            {
                Player.Set(c, "targetRenderer", renderer);
                Player.Set(c, "targetImage", image);
            });
            UntilShown(component);
            Override(renderer, "_BumpMap", own);
            image.texture = own;
            Remove(component);
            Expect.True(renderer.Overrides["_Mask"] == own && renderer.Overrides["_BumpMap"] == own, "still there");
            Expect.True(renderer.Overrides["_MainTex"] == Texture2D.whiteTexture, "as the material, which has none");
            Expect.True(image.texture == own, "the image is still the game's");
            UnityEngine.Object.DestroyImmediate(own);
        }

        [Test]
        public static void A_new_size_takes_the_place_of_the_old_one_only()
        {
            Player.EnterPlayMode();
            Renderer renderer = new Renderer { sharedMaterial = new Material("_MainTex") };
            RawImage image = new RawImage();
            Texture2D small = new Texture2D(1, 1, TextureFormat.RGBA32, false, false);
            Texture2D large = new Texture2D(2, 2, TextureFormat.RGBA32, false, false);
            Texture2D own = new Texture2D(1, 1, TextureFormat.RGBA32, false, false);
            MagiTargets targets = new MagiTargets();
            targets.Attach(small, renderer, "", image);
            Override(renderer, "_BumpMap", own);
            image.texture = own;
            UnityEngine.Object.DestroyImmediate(small);
            targets.Attach(large, renderer, "", image);
            Expect.True(renderer.Overrides["_MainTex"] == large, "the renderer shows the new one");
            Expect.True(renderer.Overrides["_BumpMap"] == own, "the game's other texture stays");
            Expect.True(image.texture == own, "so does the image's");
            Override(renderer, "_MainTex", own);
            targets.Detach();
            Expect.True(renderer.Overrides["_MainTex"] == own && image.texture == own, "and at the end");
            UnityEngine.Object.DestroyImmediate(large);
            UnityEngine.Object.DestroyImmediate(own);
        }

        static void Override(Renderer renderer, string property, Texture texture)
        {
            MaterialPropertyBlock block = new MaterialPropertyBlock();
            renderer.GetPropertyBlock(block);
            block.SetTexture(property, texture);
            renderer.SetPropertyBlock(block);
        }

        [Test]
        public static void A_listener_that_throws_keeps_nothing_from_being_opened_again()
        {
            Player.EnterPlayMode();
            MagiTexture component = Playing();
            bool thrown = false;
            component.OnConnection.AddListener(delegate(bool on)
            {
                if (on || thrown)
                    return;
                thrown = true;
                throw new InvalidOperationException("a listener");
            });
            component.ControlAddress = "none";
            try
            {
                Player.Frame(component);
            }
            catch (Exception)
            {
                // In the engine it ends in the console.
            }
            Expect.True(thrown && component.Client != null, "open again");
            Remove(component);
        }

        [Test]
        public static void Keys_that_a_reload_has_taken_away_are_asked_for()
        {
            Player.EnterPlayMode();
            int asked = 0;
            Action<MagiClientOptions> fill = delegate { asked++; };
            MagiTexture component = Player.ReloadDomain(Add(c => c.BeforeOpen = fill));
            Expect.True(component.Client == null && component.Problem.Contains("set it again"), "nothing is open");
            Player.Frame(component);
            component.BeforeOpen = fill;
            UntilShown(component);
            Expect.Equal(2, asked, "times asked");
            Expect.Equal("", component.Problem, "problem");
            Remove(component);
        }

        [Test]
        public static void A_target_that_is_changed_in_the_inspector_during_play_shows_the_picture()
        {
            Player.EnterPlayMode();
            Renderer first = new Renderer { sharedMaterial = new Material("_MainTex") };
            Renderer second = new Renderer { sharedMaterial = new Material("_BaseMap") };
            MagiTexture component = Add(c => Player.Set(c, "targetRenderer", first));
            UntilShown(component);
            MagiClient client = component.Client;
            Player.Set(component, "targetRenderer", second);
            Player.Call(component, "OnValidate");
            Player.Frame(component);
            Expect.True(first.Overrides == null, "the first is as it was");
            Expect.True(second.Overrides["_BaseMap"] == component.Texture, "the second shows it");
            Expect.True(client == component.Client, "the connection was kept");
            Remove(component);
        }

        [Test]
        public static void A_prompt_from_the_inspector_ends_in_receipts_and_in_frames()
        {
            Player.EnterPlayMode();
            List<MagiReceipt> receipts = new List<MagiReceipt>();
            MagiTexture component = Add(c => Player.Set(c, "prompt", "night falls"));
            component.OnReceipt.AddListener(receipts.Add);
            UntilShown(component);
            Inspector(component, "Send prompt");
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    return receipts.Exists(r => r.Kind == MagiReceiptKind.Applied);
                },
                "applied");
            ulong prompt = receipts.Find(r => r.Kind == MagiReceiptKind.Applied).Prompt;
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    return component.ShownPrompt == prompt;
                },
                "a frame of the prompt");
            Remove(component);
        }

        [Test]
        public static void A_picture_that_cannot_be_read_is_told_and_ends_nothing()
        {
            Player.EnterPlayMode();
            MagiTexture component = Playing();
            Texture2D seed = new Texture2D(2, 2, TextureFormat.RGBA32, false, false) { isReadable = false };
            component.SeedImage(seed);
            Expect.True(Debug.Console.Exists(line => line.Contains("not readable")), "the console says why");
            UnityEngine.Object.DestroyImmediate(seed);
            Remove(component);
        }

        [Test]
        public static void Every_verb_for_buttons_is_answered()
        {
            Player.EnterPlayMode();
            List<MagiRequestType> answered = new List<MagiRequestType>();
            MagiTexture component = Playing();
            component.OnReceipt.AddListener(r => answered.Add(r.Type));
            Texture2D seed = new Texture2D(2, 2, TextureFormat.RGBA32, false, false);
            component.ResetWorld();
            component.SeedImage(seed);
            component.ResetWorld("night falls");
            component.SeedImage(seed, "night falls");
            component.RewindWorld(1);
            component.RewindWorldTo(0);
            component.Snapshot("a");
            component.Fork("b");
            component.Restore("b");
            component.PauseWorld();
            component.ResumeWorld();
            component.SetFps(120);
            UnityEngine.Object.DestroyImmediate(seed);
            HashSet<MagiRequestType> wanted = new HashSet<MagiRequestType>
            {
                MagiRequestType.Reset, MagiRequestType.Image, MagiRequestType.Rewind, MagiRequestType.Snapshot,
                MagiRequestType.Fork, MagiRequestType.Restore, MagiRequestType.Pause, MagiRequestType.Resume,
                MagiRequestType.Set
            };
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    wanted.ExceptWith(answered);
                    return wanted.Count == 0;
                },
                "answers to all");
            Remove(component);
        }

        [Test]
        public static void The_world_begins_under_a_prompt_and_goes_back_to_a_chunk()
        {
            Player.EnterPlayMode();
            MagiTexture component = Playing();
            component.ResetWorld("night falls");
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    return component.ShownPrompt > 0 && component.ShownChunk >= 3;
                },
                "some chunks under the prompt");
            MagiReceipt back = new MagiReceipt();
            component.OnReceipt.AddListener(r => back = r);
            component.RewindWorldTo(1);
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    return back.Kind == MagiReceiptKind.Applied;
                },
                "went back");
            Expect.Equal(1UL, back.Chunk, "chunk of the first frame shown then");
            component.RewindWorldTo(back.Chunk);
            component.RewindWorldTo(component.ShownChunk);
            component.RewindWorldTo(-1);
            Expect.True(Debug.Console.Exists(line => line.Contains("must be at least 0")), "a number below 0 is said");
            Remove(component);
        }

        [Test]
        public static void Connection_is_told_once_when_it_comes_and_once_when_it_goes()
        {
            Player.EnterPlayMode();
            List<bool> told = new List<bool>();
            MagiTexture component = Add(null);
            component.OnConnection.AddListener(told.Add);
            UntilShown(component);
            Player.Disable(component);
            Expect.Equal("True False", string.Join(" ", told.ConvertAll(t => t.ToString()).ToArray()), "told");
            Remove(component);
        }

        [Test]
        public static void Listeners_may_disable_the_component()
        {
            Player.EnterPlayMode();
            MagiTexture component = Add(null);
            component.OnTexture.AddListener(texture => Player.Disable(component));
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    return !component.enabled;
                },
                "disabled by its own listener");
            Expect.True(component.Client == null && component.Texture == null, "closed");
            Remove(component);
            Expect.Equal(0, Texture2D.Living, "textures left");
        }

        [Test]
        public static void A_component_that_is_disabled_when_its_address_changes_stays_closed()
        {
            Player.EnterPlayMode();
            MagiTexture component = Add(null);
            UntilShown(component);
            component.OnConnection.AddListener(connected =>
            {
                if (!connected)
                    Player.Disable(component);
            });
            component.Dummy = false;
            Player.Frame(component);
            Expect.True(!component.enabled, "disabled by its own listener");
            Expect.True(component.Client == null, "nothing was opened");
            component.Dummy = true;
            Player.Enable(component);
            UntilShown(component);
            Remove(component);
        }

        [Test]
        public static void A_refused_setting_is_said_in_the_console_and_the_inspector_and_can_be_mended()
        {
            Player.EnterPlayMode();
            MagiTexture component = Add(c => c.BeforeOpen = o => o.LeasedFrames = 99);
            Expect.True(component.Problem.Length > 0 && component.Client == null, "not open");
            Expect.True(Debug.Console.Exists(line => line.StartsWith("error magi_rt")), "console");
            Player.Frame(component);
            component.SendPrompt("nobody hears");
            Expect.True(Debug.Console.Exists(line => line.Contains("nothing is open")), "said that nothing is open");
            Expect.True(Inspector(component, null).Exists(line => line.StartsWith("Error")), "inspector");
            component.BeforeOpen = null;
            Player.Disable(component);
            Player.Enable(component);
            UntilShown(component);
            Expect.Equal("", component.Problem, "problem");
            Remove(component);
        }

        [Test]
        public static void The_inspector_shows_the_connection_while_playing()
        {
            Player.EnterPlayMode();
            MagiTexture component = Playing();
            List<string> shown = Inspector(component, null);
            Expect.True(shown.Exists(line => line.StartsWith("State: Connected")), string.Join("; ", shown.ToArray()));
            Player.Disable(component);
            Expect.True(Inspector(component, null).Exists(line => line.StartsWith("Info")), "says when it connects");
            Remove(component);
        }

        [Test]
        public static void A_silent_address_is_no_error_and_costs_no_time()
        {
            Player.EnterPlayMode();
            MagiTexture component = Add(c =>
            {
                Player.Set(c, "dummy", false);
                Player.Set(c, "address", "tcp://127.0.0.1:9");
            });
            for (int i = 0; i < 20; i++)
                Player.Frame(component);
            Expect.Equal("", component.Problem, "problem");
            Expect.True(component.Texture == null && !component.Connected, "nothing came");
            Remove(component);
            component = Add(c =>
            {
                Player.Set(c, "dummy", false);
                Player.Set(c, "address", "nonsense");
            });
            Expect.True(component.Problem.Length > 0, "a wrong address is said");
            component.Address = "tcp://127.0.0.1:9";
            Player.Frame(component);
            Expect.Equal("", component.Problem, "problem after it was mended");
            Remove(component);
        }

        [Test]
        public static void The_sample_runs()
        {
            Player.EnterPlayMode();
            MagiTexture component = Add(null);
            Steer sample = new Steer();
            sample.siblings.Add(component);
            Player.Enable(sample);
            UntilShown(component);
            Event.current = new Event { type = EventType.KeyDown, keyCode = KeyCode.F1 };
            Player.Call(sample, "OnGUI");
            Event.current = new Event { type = EventType.Repaint };
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    Player.Call(sample, "OnGUI");
                    return component.ShownPrompt > 0;
                },
                "the key's prompt shows");
            Player.Disable(sample);
            Remove(component);
        }

        [Test]
        public static void The_weather_of_the_example_changes_and_is_told()
        {
            Player.EnterPlayMode();
            MagiTexture component = Add(null);
            Weather weather = new Weather();
            weather.siblings.Add(component);
            Player.Enable(weather);
            Expect.Soon(
                delegate
                {
                    Time.time += 0.5f;
                    Player.Frame(component);
                    Player.Frame(weather);
                    return Debug.Console.Exists(line => line.StartsWith("log the sky clears: on the screen"));
                },
                "the second prompt shows");
            Player.Set(weather, "prompts", new string[0]);
            Time.time += 20;
            Player.Frame(weather);
            Player.Disable(weather);
            Remove(component);
        }

        [Test]
        public static void It_is_validated_by_the_thread_that_loads_its_scene()
        {
            Player.EnterPlayMode();
            MagiTexture component = new MagiTexture();
            Exception thrown = null;
            Thread loading = new Thread(delegate()
            {
                try
                {
                    Player.Call(component, "OnValidate");
                }
                catch (Exception problem)
                {
                    thrown = problem;
                }
            });
            loading.Start();
            loading.Join();
            Expect.True(thrown == null, thrown == null ? "" : thrown.Message);
        }

        static MagiTexture Add(Action<MagiTexture> change)
        {
            return Player.Add<MagiTexture>(component =>
            {
                Player.Set(component, "dummy", true);
                Player.Set(component, "dummyWidth", Width);
                Player.Set(component, "dummyHeight", Height);
                Player.Set(component, "dummyFps", 120f);
                if (change != null)
                    change(component);
            });
        }

        static MagiTexture Playing()
        {
            MagiTexture component = Add(null);
            UntilShown(component);
            return component;
        }

        static void UntilShown(MagiTexture component)
        {
            Expect.Soon(
                delegate
                {
                    Player.Frame(component);
                    return component.Texture != null && component.Connected;
                },
                "a picture");
        }

        static void Remove(MagiTexture component)
        {
            Player.Remove(component);
        }

        static List<string> Inspector(MagiTexture component, string pressed)
        {
            UnityEditor.EditorGUILayout.Shown.Clear();
            GUILayout.Pressed = pressed;
            MagiTextureEditor editor = new MagiTextureEditor { target = component };
            Event.current.type = EventType.Layout;
            editor.OnInspectorGUI();
            int laidOut = UnityEditor.EditorGUILayout.Shown.Count;
            Event.current.type = EventType.Repaint;
            GUILayout.Pressed = null;
            editor.OnInspectorGUI();
            Expect.Equal(2 * laidOut, UnityEditor.EditorGUILayout.Shown.Count, "lines painted as laid out");
            UnityEditor.EditorGUILayout.Shown.RemoveRange(0, laidOut);
            return UnityEditor.EditorGUILayout.Shown;
        }

        /// <summary>The first pictures of dummy mode by number, uppermost row first.</summary>
        static Dictionary<ulong, byte[]> TopDownPictures(MagiTextureFormat format, int count)
        {
            MagiFormat wire = format == MagiTextureFormat.Bgra32 ? MagiFormat.Bgra8
                : format == MagiTextureFormat.Rgb24 ? MagiFormat.Rgb8 : MagiFormat.Rgba8;
            Dictionary<ulong, byte[]> pictures = new Dictionary<ulong, byte[]>();
            using (MagiClient client = Clients.Dummy(o =>
            {
                o.Format = wire;
                o.Rows = MagiRows.Top;
                o.DummyWidth = Width;
                o.DummyHeight = Height;
                o.DummyFps = 120;
            }))
            {
                while (pictures.Count < count)
                {
                    using (MagiFrame frame = Clients.Next(client))
                    {
                        Expect.Equal(frame.RowBytes, frame.Stride, "stride");
                        pictures[frame.Seq] = Clients.Bytes(frame);
                    }
                }
            }
            return pictures;
        }
    }
}
