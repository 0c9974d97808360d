"""The style sheet of the labelling configuration: what Label Studio's page looks like while people review.

The image takes all the height of the window; the list of regions takes the column beside it, one line a
region; the details of the chosen region (its reasons, and the button that deletes it) stand above the list
at a fixed height, so that nothing moves when a region is chosen. Of the phrases, those that are ticked come
first and the others are folded. The tools have room of their own from the beginning: Label Studio draws boxes
outside the window if the image's room shrinks after it was drawn.

The class names are those of Label Studio 1.23. In a version with other names the page has its own look and
everything works. The text must hold neither `<`, `>` nor `&`.
"""

DOUBTFUL_COLOUR, SETTLED_COLOUR = "#e8590c", "#4c8bc0"
# The label's name in the list of regions, which is only a colour there: Label Studio writes it as rgb().
_DOUBTFUL_RGB, _SETTLED_RGB = (
    f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"
    for colour in (DOUBTFUL_COLOUR, SETTLED_COLOUR)
)

STYLES = f"""
.fo1 {{display: grid; grid-template-columns: minmax(0, 1fr) 236px; gap: 10px}}
.fo1-image {{min-width: 0}}
.fo1-image .lsf-object {{padding-right: 42px}}
.fo1-image .lsf-toolbar {{position: absolute !important; right: 0; top: 56px}}
.fo1-side {{min-width: 0; max-height: calc(100vh - 160px); overflow-y: auto; font-size: 13px}}
.fo1-side h4 {{font-size: 12px !important; line-height: 16px !important; font-weight: 600;
  margin: 8px 0 2px !important; opacity: 0.75; white-space: pre-line}}
.fo1-keys h4 {{font-weight: 400; margin: 0 0 2px !important}}
.fo1-side .lsf-labels {{margin: 0 0 4px}}
.fo1-side .lsf-text-area textarea, .fo1-side .lsf-text-area input {{margin: 0; width: 100%}}
.fo1-side .ant-form-item p, .fo1-side .ant-form-item .ant-form-item {{display: none}}
.fo1-side .lsf-choice {{margin: 0 !important}}
.fo1-side .lsf-choice__item, .fo1-side .lsf-choice__checkbox {{min-height: 22px !important; height: auto;
  padding-top: 1px !important; padding-bottom: 1px !important}}
.fo1-side .ant-collapse {{border: 0; background: none; margin: 4px 0}}
.fo1-side .ant-collapse-item {{border: 0 !important}}
.fo1-side .ant-collapse .ant-collapse-item .ant-collapse-header {{padding: 2px 0 2px 18px; font-size: 12px}}
.fo1-side .ant-collapse .ant-collapse-item .ant-collapse-header .ant-collapse-arrow {{left: 0; top: 6px}}
.fo1-side .ant-collapse-content {{border: 0 !important; background: none !important}}
.fo1-side .ant-collapse-content-box {{padding: 2px 0 !important}}
.fo1-phrases .ant-collapse-item {{display: flex; flex-direction: column}}
.fo1-phrases .ant-collapse-header {{order: 2}}
.fo1-phrases .lsf-choices {{display: flex; flex-direction: column; margin: 0}}
.fo1-phrases .lsf-choice:has(input:checked) {{order: -1}}
.fo1-phrases .ant-collapse-content-inactive {{display: block !important}}
.fo1-phrases .ant-collapse-content-inactive .lsf-choice:not(:has(input:checked)) {{display: none}}
.fo1-closeups {{max-height: calc(100vh - 430px); overflow-y: auto}}
.fo1-closeups .lsf-richtext, .fo1-closeups .lsf-richtext__container {{padding: 0; margin: 0; border: 0}}
.fo1-closeups span {{display: inline-flex; align-items: center; margin: 0 5px 3px 0}}
.fo1-closeups b {{min-width: 18px; font-size: 11px}}
.lsf-tabs-panel_alignment_right:has(.lsf-outliner) {{height: calc(100% - 112px) !important}}
.lsf-tabs-panel_alignment_right:has(.lsf-info) {{height: 112px !important}}
.lsf-tabs-panel__header {{display: none !important}}
.lsf-tabs-panel:has(.lsf-info) .lsf-tabs__tabs-row {{display: none}}
.lsf-tabs-panel:has(.lsf-info) .lsf-tabs__contents {{height: 100% !important; max-height: none !important}}
.lsf-tabs-panel:has(.lsf-info) .lsf-tabs-panel__body {{height: 100% !important; max-height: none !important}}
.lsf-info:not(:has(.lsf-detailed-region)) {{visibility: hidden}}
.lsf-info .lsf-detailed-region__result, .lsf-info .lsf-region-editor {{display: none}}
.lsf-info .lsf-detailed-region__title + span {{display: none}}
.lsf-info .lsf-region-actions__group_align_left {{display: none}}
.lsf-info .lsf-detailed-region {{display: grid; grid-template-columns: 1fr auto; align-items: center}}
.lsf-info .lsf-detailed-region__content:not(:has(.lsf-detailed-region__meta-text)) {{display: none}}
.lsf-info .lsf-detailed-region__content {{grid-column: 1 / 3; margin: 0 !important}}
.lsf-info .lsf-detailed-region__meta-text {{white-space: pre-line; margin: 0; padding: 0 8px;
  font-size: 12px; line-height: 17px; word-break: normal}}
.lsf-outliner .lsf-tree__node .lsf-tree-node-content-wrapper {{padding: 0 4px !important}}
.lsf-outliner .lsf-tree-title {{padding: 0 !important}}
.lsf-outliner .lsf-tree-iconEle {{display: none !important}}
.lsf-outliner .lsf-outliner-item {{display: flex; align-items: center; gap: 4px; min-height: 28px}}
.lsf-outliner .lsf-outliner-item__content {{flex: none; min-height: 0; height: auto; min-width: 20px}}
.lsf-outliner .lsf-outliner-item__title {{flex: none; min-width: 0; width: auto}}
.lsf-outliner .lsf-labels-list .lsf-labels-list[style*="{_DOUBTFUL_RGB}"] {{display: none}}
.lsf-outliner .lsf-labels-list .lsf-labels-list[style*="{_SETTLED_RGB}"] {{display: none}}
.lsf-outliner .lsf-outliner-item__controls {{display: none !important}}
.lsf-outliner .lsf-outliner-item__ocr {{flex: 1; min-width: 0; margin: 0}}
.lsf-outliner .lsf-outliner-item__ocr textarea.ant-input {{padding: 2px 6px !important; width: 100%;
  min-height: 0 !important; line-height: 18px; font-size: 13px}}
"""
